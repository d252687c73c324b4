"""Reading files of meters and plugs: what a file is (`detect`) and its rows as readings (`rows`). Sends nothing."""
