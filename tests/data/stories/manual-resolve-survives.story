# The same over a crash long after; a hold of 0 is for ever.
set hold 0
0s fire Down instance=a
0s page first INC-1 round 1 step 1
3s resolve INC-1 by ana
3s told first INC-1 resolved
9000s crash
9001s fire Down instance=a
9500s end Down
9501s end of story
