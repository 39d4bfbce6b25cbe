"""What pages and the API answer with: the desk of a request, twins, and readings that pages share.

Entered by pages and API alone, and by the app, which lays the desk.
"""
