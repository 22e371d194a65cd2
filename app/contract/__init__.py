"""What a good file is: columns, types, values and settings of conf/contract.yml.

Pure, so anybody may call it; it needs no database, no S3 and no JVM.
"""
