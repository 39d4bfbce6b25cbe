"""The website's side of the socket: hands out jobs, takes reports, keeps leases honest.

Every door decodes to the same messages and calls the same function in `handlers`. It runs in the
website's process and never imports the website.
"""
