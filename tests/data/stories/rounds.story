# Two rounds, five minutes apart, then the fallback, then rest.
set receiver boss webhook
set policy default repeat=1 repeat_after=5m fallback=boss | 0s first | 5s second
0s fire Down instance=a
0s page first INC-1 round 1 step 1
5s page second INC-1 round 1 step 2
305s page first INC-1 round 2 step 1
310s page second INC-1 round 2 step 2
610s page boss INC-1 round 2 step 2 fallback
99999s line INC-1 exhausted
99999s end Down
99999s told boss INC-1 resolved
99999s told first INC-1 resolved
99999s told second INC-1 resolved
