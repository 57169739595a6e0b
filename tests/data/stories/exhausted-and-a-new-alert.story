# Nobody answered in any round; a critical alert of another name starts the policy again, a repeat of a known one does not.
set no rules
set policy default repeat=0 repeat_after=5s | 0s first
0s fire Down service=a
0s page first INC-1 round 1 step 1
5s line INC-1 exhausted
10s fire Down service=a instance=2 severity=critical
20s fire Full service=a severity=critical
20s page first INC-1 round 1 step 1
60s end of story
