# As long as one page of the step arrived, nothing hurries.
set policy default | 0s first second | 60s ops
0s receiver first refuses
0s fire Down instance=a
0s page first INC-1 round 1 step 1
0s page second INC-1 round 1 step 1
60s page ops INC-1 round 1 step 2
61s ack INC-1 by ana
