"""The five settings tabs: which groups they show, and their special parts."""
