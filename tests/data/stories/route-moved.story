# An alert that is announced elsewhere since a reload: whoever heard of it first hears of its end, nothing more.
set route policy=none
then route policy=none
then child severity=critical receiver=second
0s fire A severity=critical
0s announce ops 1 firing
0s fire B severity=critical instance=2
0s announce ops 1 firing
5s crash then
5s announce second 1 firing
5s announce second 1 firing
20s end A
20s announce ops 1 resolved
21s announce second 1 resolved
30s end B
30s announce ops 1 resolved
31s announce second 1 resolved
99s end of story
