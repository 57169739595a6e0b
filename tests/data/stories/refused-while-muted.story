# A page that is refused for good hurries nobody while every alert is muted; when the mute ends the policy goes on at its own times.
set no rules
set policy default | 0s first | 5m second
0s receiver first fails
0s fire Down instance=a
0s page first INC-1 round 1 step 1
1s silence instance=a for 60s
2s receiver first refuses
3s crash
3s page first INC-1 round 1 step 1
300s page second INC-1 round 1 step 2
301s ack INC-1 by ana
400s end of story
