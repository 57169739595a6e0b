# A channel that updates its message in place sees the acknowledgement; a webhook, which cannot, is left in peace.
set receiver chat slack
set policy default | 0s first chat

0s fire Down severity=warning
0s page first INC-1 round 1 step 1
0s page chat INC-1 round 1 step 1
5s ack INC-1 by ana
5s told chat INC-1 acknowledged
6s line INC-1 chat heard of the acknowledgement
10s unack INC-1 by ana
10s page first INC-1 round 1 step 1
10s page chat INC-1 round 1 step 1
15s ack INC-1 by ben
15s told chat INC-1 acknowledged
20s end Down
20s told chat INC-1 resolved
20s told first INC-1 resolved
