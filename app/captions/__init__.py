"""Working on captions: one picture's text, the tags of all, changes of many, automatic captions."""
