# A page behind a destination that is known to be away is not waited for, and its receiver is not told of an end that it heard
# nothing of. Where another contact of the step got the page, nothing hurries.
set policy default repeat=1 | 0s first | 5m second
set receiver third webhook
set policy both repeat=1 | 0s first third | 5m second
set route policy=default
set child service=both policy=both
0s receiver first away
0s fire Down instance=a
0s page first INC-1 round 1 step 1
0s line INC-1 page to first waits, its destination is away
0s page second INC-1 round 1 step 2
0s announce ops 1 firing
10s end Down
10s told second INC-1 resolved
11s announce ops 1 resolved
20s fire Odd service=both
20s page first INC-2 round 1 step 1
20s page third INC-2 round 1 step 1
20s announce ops 1 firing
320s page second INC-2 round 1 step 2
330s receiver first takes
