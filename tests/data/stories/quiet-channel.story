# A channel that does not want ends of pages is not told; the other channels of the contact are.
set receiver first webhook email
set receiver second email !send_resolved_pages
set policy default | 0s first | 1s second
0s fire Down instance=a
0s page first INC-1 round 1 step 1
0s page first INC-1 round 1 step 1
1s page second INC-1 round 1 step 2
2s end Down
2s told first INC-1 resolved
2s told first INC-1 resolved
9s end of story
