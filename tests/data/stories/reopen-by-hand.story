# A person takes a resolve back while alerts fire; when none does there is nothing to reopen.
0s fire Down instance=a
0s page first INC-1 round 1 step 1
3s resolve INC-1 for 0s by ana
3s told first INC-1 resolved
10s reopen INC-1 by bob
10s page first INC-1 round 1 step 1
10s line INC-1 reopened by bob
11s ack INC-1 by bob
11s reopen INC-1 by bob
11s refused INC-1 is not resolved: only what is resolved can be reopened
20s end Down
20s told first INC-1 resolved
21s reopen INC-1 by bob
21s refused none of the alerts of INC-1 fires any more, so it would end at once; if they fire again they open a new incident
99s end of story
