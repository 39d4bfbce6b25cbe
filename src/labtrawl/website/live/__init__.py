"""How a change reaches open pages: the hub, what it renders, and one stream for all tabs.

Entered by the app, which runs the hub, and by the streams of pages and API.
"""
