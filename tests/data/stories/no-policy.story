# A route without a policy gathers and announces, and pages nobody; that is said.
set route policy=none
set child team=web policy=default
0s fire A namespace=x
0s announce ops 1 firing
1s line INC-1 not_paged nobody is paged the routes of its alerts name no escalation policy
2s fire B namespace=x team=web
2s page first INC-1 round 1 step 1
2s announce ops 1 firing
3s ack INC-1 by ana
