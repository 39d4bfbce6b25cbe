"""The dataset: segments of JSON Lines in zstd frames, written once, verified, read back.

Only this room opens the files under the dataset's root. It knows neither the database nor GitLab:
what is committed comes in as rows of the manifest, what was fetched as `policy.FetchedRecord`.
"""
