TABLE: dict = {}
