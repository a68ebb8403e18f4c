"""Parts of pages: each has a function ``show`` that draws it for one study."""
