"""Small configurations of the Object Detection API in the style of its published ones, with their parts to replace."""

HYPERPARAMS = """
conv_hyperparams {
  activation: RELU_6,
  regularizer { l2_regularizer { weight: 0.00004 } }
  initializer { truncated_normal_initializer { stddev: 0.03 mean: 0.0 } }
  batch_norm { train: true, scale: true, center: true, decay: 0.9997, epsilon: 0.001, }
}
"""
SSD_ANCHORS = "ssd_anchor_generator { aspect_ratios: 1.0 aspect_ratios: 2.0 aspect_ratios: 0.5 }"
RESIZER = "fixed_shape_resizer { height: 300 width: 300 }"
MATCHER = "argmax_matcher { force_match_for_each_row: true }"
LOSS = """
classification_loss { weighted_sigmoid { anchorwise_output: true } }
localization_loss { weighted_smooth_l1 { anchorwise_output: true } }
hard_example_miner { num_hard_examples: 3000 iou_threshold: 0.99 loss_type: CLASSIFICATION
  max_negatives_per_positive: 3 min_negatives_per_image: 0 }
"""
RMSPROP = """
rms_prop_optimizer { learning_rate { exponential_decay_learning_rate {
  initial_learning_rate: 0.004 decay_steps: 800720 decay_factor: 0.95 } } }
"""
COSINE = """
momentum_optimizer: { learning_rate: { cosine_decay_learning_rate {
  learning_rate_base: .08 total_steps: 50000 warmup_learning_rate: 0.0 warmup_steps: 1000 } }
  momentum_optimizer_value: 0.9 }
use_moving_average: false
"""


def ssd(
    *,
    extractor: str = "type: 'ssd_mobilenet_v1'" + HYPERPARAMS,
    predictor: str = "convolutional_box_predictor { use_dropout: false kernel_size: 1" + HYPERPARAMS + "}",
    anchors: str = SSD_ANCHORS,
    resizer: str = RESIZER,
    matcher: str = MATCHER,
    loss: str = LOSS,
    post: str = "score_converter: SIGMOID",
    more: str = "",
    optimizer: str = RMSPROP,
    train: str = "batch_size: 24 num_steps: 200000",
    rest: str = "",
) -> str:
    """Writes a configuration in the style of `ssd_mobilenet_v1_coco`."""
    return f"""
model {{
  ssd {{
    {more}
    box_coder {{ faster_rcnn_box_coder {{ }} }}
    matcher {{ {matcher} }}
    similarity_calculator {{ iou_similarity {{ }} }}
    anchor_generator {{ {anchors} }}
    image_resizer {{ {resizer} }}
    box_predictor {{ {predictor} }}
    feature_extractor {{ {extractor} }}
    loss {{ {loss} }}
    post_processing {{ {post} }}
  }}
}}
train_config: {{
  {train}
  optimizer {{ {optimizer} }}
}}
{rest}
"""


def ssdlite() -> str:
    """Writes a configuration in the style of `ssdlite_mobilenet_v2_coco`."""
    predictor = "convolutional_box_predictor { use_dropout: false kernel_size: 3 use_depthwise: true"
    return ssd(
        extractor="type: 'ssd_mobilenet_v2' use_depthwise: true depth_multiplier: 0.75" + HYPERPARAMS,
        predictor=predictor + HYPERPARAMS + "}",
        rest="eval_config { num_examples: 8000 max_evals: 10 }",
    )


def fpnlite() -> str:
    """Writes a configuration in the style of `ssd_mobilenet_v2_fpnlite_320x320`."""
    normal = HYPERPARAMS.replace("truncated_normal", "random_normal").replace("0.03", "0.01")
    shared = "depth: 128 num_layers_before_predictor: 4 share_prediction_tower: true use_depthwise: true kernel_size: 3"
    return ssd(
        extractor="type: 'ssd_mobilenet_v2_fpn_keras' use_depthwise: true override_base_feature_extractor_hyperparams: "
        "true fpn { min_level: 3 max_level: 7 additional_layer_depth: 128 }" + normal,
        predictor="weight_shared_convolutional_box_predictor { class_prediction_bias_init: -4.6 "
        + shared
        + normal
        + "}",
        anchors="multiscale_anchor_generator { min_level: 3 max_level: 7 anchor_scale: 4.0 "
        "aspect_ratios: [1.0, 2.0, 0.5] scales_per_octave: 2 }",
        resizer="fixed_shape_resizer { height: 320 width: 320 }",
        loss="classification_loss { weighted_sigmoid_focal { alpha: 0.25 gamma: 2.0 } } "
        "localization_loss { weighted_smooth_l1 { } }",
        more="inplace_batchnorm_update: true freeze_batchnorm: false encode_background_as_zeros: true "
        "normalize_loc_loss_by_codesize: true",
        optimizer=COSINE,
        train="batch_size: 128 num_steps: 50000 startup_delay_steps: 0 replicas_to_aggregate: 8 sync_replicas: true "
        "data_augmentation_options { random_horizontal_flip { } }",
        rest='eval_config: { metrics_set: "coco_detection_metrics" use_moving_averages: false }',
    )
