"""From archives, folders and videos to data sets, and what there is to say about one."""
