# Pages are still on their way when the policy has come to its end: a restart under a silence does not begin that again.
set policy default fallback=boss | 0s first
set receiver boss webhook
0s receiver first hangs
0s receiver boss hangs
0s fire Down instance=a
0s page first INC-1 round 1 step 1
120s page boss INC-1 round 1 step 1 fallback
130s silence instance=a for 1h
140s crash
140s page boss INC-1 round 1 step 1 fallback
140s page first INC-1 round 1 step 1
200s unsilence s1
900s end of story
