# A destination that refuses for good costs no time: the next step is taken at once, and hears of the end alone.
0s receiver first refuses
0s fire Down instance=a
0s page first INC-1 round 1 step 1
0s page second INC-1 round 1 step 2
1s line INC-1 page_failed page to first failed for good connection refused
1s line INC-1 escalated round 1 step 2 of policy default the page to first failed: connection refused
20s end Down
20s told second INC-1 resolved
