# A refused announcement is tried again at the next flush.
set route policy=none group_interval=10s
0s receiver ops refuses
0s fire A instance=1
0s announce ops 1 firing
10s announce ops 1 firing
15s receiver ops takes
20s announce ops 1 firing
99s end of story
