# Resolved by hand: the alert still fires and pages nobody while the resolve holds; when it fires anew it is another incident.
0s fire Down instance=a
0s page first INC-1 round 1 step 1
3s resolve INC-1 by ana
3s told first INC-1 resolved
3s line INC-1 resolved while 1 alert still fires
4s resolve INC-1 by bob
4s refused INC-1 is already resolved by ana: reopen it first if its alerts still fire
5s escalate INC-1 by bob
5s refused INC-1 is already resolved by ana: reopen it first if its alerts still fire
6s fire Down instance=a
3000s end Down
3001s fire Down instance=a
3001s page first INC-2 round 1 step 1
3002s end Down
3002s told first INC-2 resolved
9999s end of story
