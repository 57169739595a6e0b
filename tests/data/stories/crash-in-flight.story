# Killed with a page in flight: sent again under the same key; its receiver hears of the end.
0s receiver first hangs
0s fire Down instance=a
0s page first INC-1 round 1 step 1
1s receiver first takes
1s crash
1s page first INC-1 round 1 step 1
2s end Down
2s told first INC-1 resolved
