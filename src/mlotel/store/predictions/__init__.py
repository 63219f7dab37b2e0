"""The data set of keyed predictions: Parquet files by model and day, sorted by key hash, and a journal before them."""
