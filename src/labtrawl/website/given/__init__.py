"""What the cli gives to the website: values, and questions about other rooms of the house.

Imports nothing else of the website. `site` has everything together; every other part may ask it.
"""
