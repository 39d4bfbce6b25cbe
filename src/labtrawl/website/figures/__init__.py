"""Figures: sums, samples a minute, outlooks, reckoned insights, and what charts draw of them.

What costs a look at everything is kept a while, for all viewers together. Entered by the overview,
the statistics, the insights and the hub.
"""
