@patroni
Feature: The settings that make a commit durable are on
  Each of these settings can be switched off for speed, and nothing looks different until the power fails.

  @id.PH-06 @members @blocker
  Scenario: No member gives up durability for speed
    Then every member has these settings for the application
      | setting            | value                              |
      | fsync              | on                                 |
      | full_page_writes   | on                                 |
      | synchronous_commit | on or remote_write or remote_apply |

  @id.PH-06 @members @data_checksums @critical
  Scenario: Every member notices a damaged page
    Then every member has these settings for the application
      | setting        | value |
      | data_checksums | on    |

  @id.PH-06 @members @critical
  Scenario: The WAL of every member has what pg_rewind needs
    Then every member writes the WAL that a rewind needs

  @id.PH-06 @rewind @critical
  Scenario: A member whose timeline diverged is rewound
    Then Patroni is configured to rewind

  @id.PH-06 @replicas @synchronous @critical
  Scenario: Commits wait for as many standbys as the configuration asks for
    Then the leader waits for as many standbys as the configuration asks for
