# An alert that comes back soon after its incident ended by itself opens that incident again; later, or after a person's word, a new one.
set reopen 10m
set policy default | 0s first

0s fire Down service=web
0s page first INC-1 round 1 step 1
5s ack INC-1 by ana
60s end Down
60s told first INC-1 resolved
120s fire Down service=web
120s page first INC-1 round 1 step 1
120s status INC-1 is triggered medium 1/1
120s line INC-1 reopened: Down web fires again
130s crash
200s end Down
200s told first INC-1 resolved
900s fire Down service=web
900s page first INC-2 round 1 step 1
910s resolve INC-2 by ana
910s told first INC-2 resolved
920s end Down
930s fire Down service=web
930s page first INC-3 round 1 step 1
990s end of story
