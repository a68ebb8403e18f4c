"""Ray: started here or joined, its nodes asked and watched, code and jobs sent to it."""
