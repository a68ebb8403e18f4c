"""What a study will cost, before it is paid: hours, memory, and how one trial of each kind is timed."""
