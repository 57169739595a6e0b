# Whoever is on call at the moment of the step is told. Stories begin on Monday, 5 January 2026, at noon UTC; Berlin is an hour ahead.
set receiver ana-phone webhook
set receiver bob-phone webhook
set receiver bob-mail email
set user ana ana-phone
set user bob bob-phone bob-mail
set schedule primary Europe/Berlin 13:30:00 2026-01-04 ana bob
set policy default | 0s schedule:primary | 1h schedule:primary
0s fire Down instance=a
0s page ana-phone INC-1 round 1 step 1
1s line INC-1 paged ana (on call in primary) by ana-phone (round 1, step 1)
3600s page bob-phone INC-1 round 1 step 2
3600s page bob-mail INC-1 round 1 step 2
3601s ack INC-1 by bob
3602s end Down
3602s told ana-phone INC-1 resolved
3602s told bob-mail INC-1 resolved
3602s told bob-phone INC-1 resolved
