# After a reload or a crash receivers hear only what they do not know, and not before their group's next tick.
set route policy=none
0s fire A instance=1
0s announce ops 1 firing
5s reload
8s crash
9s fire A instance=2
10s announce ops 2 firing
12s end A/1
12s crash
13s announce ops 1 firing 1 resolved
20s crash
20s end A/2
21s announce ops 1 resolved
99s crash
199s end of story
