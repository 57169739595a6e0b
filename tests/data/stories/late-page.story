# On the wire when it was taken back: it arrived, so the end is told after all.
0s receiver first hangs
0s fire Down instance=a
0s page first INC-1 round 1 step 1
1s end Down
2s end of story
