set receiver bob-phone webhook
set user bob bob-phone
0s fire Down instance=a
0s page first INC-1 round 1 step 1
2s reassign INC-1 to user:bob by ana
2s page bob-phone INC-1 round 1 step 1
7s page bob-phone INC-1 round 1 step 2
8s reassign INC-1 to user:nobody by ana
8s refused not paged: user nobody leads to no receiver
9s ack INC-1 by bob
20s end Down
20s told bob-phone INC-1 resolved
20s told first INC-1 resolved
