"""What has to be right: the checks, how they are looked at, and the notices that operators get.

Judgements are pure; `sights` and `looking` gather what they judge. Entered by the pages of care, the
API's health, and the cli (`labtrawl doctor`, the caretaker).
"""
