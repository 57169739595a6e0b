# One more matcher makes another group of the same alert: the old group hears of its end, under its own key, and so does the new.
set route policy=none
set child severity=critical receiver=first
then route policy=none
then child severity=critical,team=a receiver=first
0s fire A severity=critical team=a
0s announce first 1 firing
5s reload then
5s announce first 1 firing
9s crash
20s end A
20s announce first 1 resolved
21s announce first 1 resolved
99s end of story
