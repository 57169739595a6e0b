# Not delivered for two minutes: the next step is taken; the page that never arrived is told no end, had it never been tried.
set policy default repeat=0 | 0s first | 30m second
0s receiver first hangs
0s fire Down instance=a
0s page first INC-1 round 1 step 1
120s page second INC-1 round 1 step 2
120s line INC-1 no page of the step before was delivered within 2m
300s end Down
300s told second INC-1 resolved
9999s end of story
