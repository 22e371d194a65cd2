def read_env(home):
    return None
