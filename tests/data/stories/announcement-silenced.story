# Silenced alerts are not announced; when the silence ends they are.
set route policy=none
0s silence instance=1 for 1m
0s fire A instance=1
0s fire A instance=2
1s announce ops 1 firing
60s announce ops 2 firing
99s end A/1 A/2
100s announce ops 2 resolved
101s end of story
