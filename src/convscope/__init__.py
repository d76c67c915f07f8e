"""convscope"""
