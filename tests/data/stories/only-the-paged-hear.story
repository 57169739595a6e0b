# Who was not paged is not told.
0s fire Down instance=a
0s page first INC-1 round 1 step 1
3s end Down
3s told first INC-1 resolved
60s end of story
