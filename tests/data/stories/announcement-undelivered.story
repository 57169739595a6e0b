# One undelivered announcement at a time: newer news replaces it, no news leaves it alone.
set route policy=none
0s receiver ops hangs
0s fire A instance=1
0s announce ops 1 firing
3s fire A instance=2
4s announce ops 2 firing
20s receiver ops takes
20s delivered ops
30s end A/1 A/2
31s announce ops 2 resolved
60s end of story
