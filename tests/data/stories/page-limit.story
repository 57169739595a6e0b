# Two pages a minute: what is held back is said, the critical one goes first, and nothing is lost.
set limit 2
set policy default | 0s first
set rule name alertname=~.+ by=alertname window=10m
0s fire A
0s page first INC-1 round 1 step 1
10s fire B
10s page first INC-2 round 1 step 1
11s fire C
12s fire D severity=critical
13s fire E
13s line INC-3 not_paged page to first held back 2 pages a minute to one contact are the limit
14s ack INC-5 by ana
60s page first INC-4 round 1 step 1 held_back 1
60s line INC-4 paged first (round 1, step 1); 1 more pages to it are held back
70s page first INC-3 round 1 step 1
71s end A B C D E
71s told first INC-1 resolved
71s told first INC-2 resolved
71s told first INC-3 resolved
71s told first INC-4 resolved
