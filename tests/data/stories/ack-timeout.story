# An acknowledgement holds for an hour, where the policy says so; then the policy starts again.
set policy default ack_timeout=1h | 0s first | 5s second
0s fire Down instance=a
0s page first INC-1 round 1 step 1
2s ack INC-1 by ana
2s ack INC-1 by bob
2s refused INC-1 is already acknowledged by ana: unacknowledge it first to take it over
3602s page first INC-1 round 1 step 1
3607s page second INC-1 round 1 step 2
3607s line INC-1 ack_timed_out ana acknowledged 1h ago
3608s ack INC-1 by bob
3700s end Down
3700s told first INC-1 resolved
3700s told second INC-1 resolved
9999s end of story
