# A silenced alert opens nothing and pages nobody; when the silence ends and it still fires, it does.
0s silence instance=a for 1m
1s fire Down instance=a
60s page first INC-1 round 1 step 1
61s end Down
61s told first INC-1 resolved
