# Down for a round and more: each step is taken once, in order, and the times go on from there.
0s fire Down instance=a
0s page first INC-1 round 1 step 1
1s down
400s down
400s crash
400s page first INC-1 round 2 step 1
400s page second INC-1 round 2 step 2
9999s line INC-1 exhausted
