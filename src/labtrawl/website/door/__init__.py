"""Who comes in: callers, sign-in, the guard before every route, and the trail of what was asked.

The table of rights is `access`, one room above. Entered by the app, and by pages and API for the
caller of a request.
"""
