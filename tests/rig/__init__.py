"""What several suites start: a crawl of a sandbox world over real sockets and files."""
